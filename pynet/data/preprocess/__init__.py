"""Preprocessing that is learnt from the training images: centred, scaled, rotated or whitened inputs.

| class | of each | subtracts | then | known from |
| --- | --- | --- | --- | --- |
| Standardize | pixel | mean | divides by the deviation | scikit-learn's StandardScaler |
| MeanImage | pixel | mean | | AlexNet |
| ChannelMean | channel | mean | | VGG |
| ChannelStandardize | channel | mean | divides by the deviation | ResNet |
| PCA | sample | mean image | rotates into principal components | scikit-learn's PCA |
| PCAWhiten | sample | mean image | and gives each component variance 1 | PCA(whiten=True) |
| ZCAWhiten | sample | mean image | and rotates back: whitened images | Krizhevsky 2009 |

All have `fit`, `partial_fit`, `transform` (or a call), `inverse` and `state_dict`;
`Preprocessor.from_state_dict` gives back what was saved. A RUN folder keeps the one that its network was
trained with.
"""

from .base import Preprocessor
from .principal import PCA, PCAWhiten, ZCAWhiten
from .scaling import ChannelMean, ChannelStandardize, MeanImage, Standardize

__all__ = [
    "PCA",
    "ChannelMean",
    "ChannelStandardize",
    "MeanImage",
    "PCAWhiten",
    "Preprocessor",
    "Standardize",
    "ZCAWhiten",
]
