"""chainlift: what does reinforcement learning add after next-token prediction?"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("chainlift")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
