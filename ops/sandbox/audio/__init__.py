"""From received bytes to speech segments: formats, decoders, voice activity, recognition."""
