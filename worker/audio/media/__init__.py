"""What audio is, and how its bytes go to the service: as they are, repackaged, or converted."""
