"""Does self-pretraining help on your sequences, by how much, at what cost, and why?"""

__version__ = "0.1.0"
