"""Every error the toolkit raises on purpose. A message names the thing, the value it had, what is allowed and what to do.

SfumatoError
├── SettingError        a setting is unknown, out of range, or has no effect
├── UnknownNameError    a name is not in a catalogue; the message lists those that are
├── ImageError          a file or a tensor is not the image it should be
├── DataError           a collection of images cannot be used
│   └── DownloadError   a known data set could not be fetched whole
├── CheckpointError     a model or a run on disk cannot be read, or does not fit
│   └── BudgetSpentError    a run on disk has taken the time of its budget already
├── FormatError         a text in a file of ours is not what such a file holds
├── StorageError        the disk is full, read-only or not ours
├── DivergenceError     training produced NaN or infinity
├── ProcessError        another process of the same run has ended
└── MissingExtraError   an optional dependency is not installed
"""


class SfumatoError(Exception):
    """Base of all; catch this to catch any."""


class SettingError(SfumatoError, ValueError):
    """A setting is unknown, out of range, or has no effect."""


class UnknownNameError(SfumatoError, LookupError):
    """A name is not in a catalogue."""


class ImageError(SfumatoError, ValueError):
    """A file or a tensor is not the image it should be."""


class DataError(SfumatoError):
    """A collection of images cannot be used."""


class DownloadError(DataError):
    """A known data set could not be fetched whole."""


class CheckpointError(SfumatoError):
    """A model or a run on disk cannot be read, or does not fit."""


class BudgetSpentError(CheckpointError):
    """A run on disk has taken the time of its budget already; its model and state stay whole."""


class FormatError(SfumatoError, ValueError):
    """A text in a file of ours is not what such a file holds."""


class StorageError(SfumatoError, OSError):
    """The disk is full, read-only or not ours."""


class DivergenceError(SfumatoError, ArithmeticError):
    """Training produced NaN or infinity; the state on disk is the last good one."""


class ProcessError(SfumatoError, RuntimeError):
    """Another process of the same run has ended or cannot be reached; the state on disk is whole."""


class MissingExtraError(SfumatoError, ImportError):
    """An optional dependency is not installed; the message says how to install it."""
