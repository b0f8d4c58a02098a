"""A first network: handwritten digits, a dozen lines."""

import pynet
from pynet import data, nn, optim, train

pynet.manual_seed(0)
training, test = data.load("digits")  # real scans, 8x8 pixels, grey
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(128, 10),
)  # fmt: skip
trainer = train.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=3e-3))
trainer.fit(data.DataLoader(training, batch_size=32, shuffle=True), epochs=15)
figures = trainer.evaluate(data.DataLoader(test, batch_size=100))
print(f"test accuracy: {100 * figures['accuracy']:.1f} %")
