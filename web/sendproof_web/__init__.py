"""Shows transcripts to senders, and answers pixels. Writes no record: only the journal of opened messages."""
