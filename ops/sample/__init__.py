"""The sample consultation: lines, audio, and the script that spoke them."""
