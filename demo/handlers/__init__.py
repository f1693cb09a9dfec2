"""What happens on an event: check what came in, ask the service, hand back what each component shows."""
