"""What hidden states hold, and which weights have moved."""
