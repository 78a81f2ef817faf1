"""What an earlier version made: its store, inbox and Dagster home are read and continued as they are."""
