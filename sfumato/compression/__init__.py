"""Compression of images by codecs: the file format, its coder, and the verbs. Files decode to the same symbols on every machine."""
