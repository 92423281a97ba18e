"""What a run will take and bring: memory, time, and what theory expects of it."""
