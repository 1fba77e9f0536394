"""What happens when something fails: real servers, real faults, and what is left afterwards."""
