"""What leaves the process about its own work: metrics and spans. Nothing here is loaded before somebody asks for it."""
