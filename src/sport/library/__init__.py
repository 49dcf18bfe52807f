"""A library of captioned pictures that answers requests in words.

It is a folder: the pictures as content-addressed blobs, and a LanceDB table of their captions.
"""

from sport.library.library import Library
from sport.library.records import AddReport, Entry, Hit, LibraryError, Near, Skipped, Stats

__all__ = ["AddReport", "Entry", "Hit", "Library", "LibraryError", "Near", "Skipped", "Stats"]
