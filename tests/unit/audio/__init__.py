"""Unit tests of audio: pace, WAV headers, containers, checks."""
