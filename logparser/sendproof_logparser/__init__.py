"""Turns the mail log and the journals into the record: what became of each recipient, and the evidence."""
