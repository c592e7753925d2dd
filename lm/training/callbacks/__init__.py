"""What happens beside training; no figure depends on one."""
