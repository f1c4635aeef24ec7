"""Dense prediction, from a classifier to every pixel: the package behind the notebooks of `edu_seg`.

Importing it costs next to nothing: neither matplotlib nor ipywidgets nor torchvision is loaded until a module needs it.
"""

__version__ = "0.1.0"
