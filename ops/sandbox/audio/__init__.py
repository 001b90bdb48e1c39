"""Audio formats, decoders, voice detection and speech recognition."""
