"""The sample consultation: its lines, its audio, and the program that makes the audio."""
