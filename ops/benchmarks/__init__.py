"""What a stream and a job cost, measured side by side with what people would use instead."""
