"""Models behind a server that speaks the OpenAI chat API: for controllers and for verifiers."""
