"""How fast the service is, and that it stays so as it grows: ``make bench``."""
