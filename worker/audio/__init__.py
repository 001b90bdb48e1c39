"""Audio: opens it where it is, finds out how long its bytes last, and cuts it into chunks."""
