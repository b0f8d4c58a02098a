"""Reports: one self-contained HTML page a run, and one for several side by side."""

from .compare import compare
from .monitor import Monitor
from .page import Page
from .run_page import write_report

__all__ = ["Monitor", "Page", "compare", "write_report"]
