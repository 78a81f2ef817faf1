"""What senders say, each in its own way → changes. Pure: payload in, changes or mistakes out."""
