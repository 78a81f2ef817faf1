"""What senders say, each in its own way → changes.

Pure: payload in, changes or mistakes out.

Knows payloads; not who sent them, nor whether they may.
"""
