"""The S3 that batch inference jobs read and write."""
