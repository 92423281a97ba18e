"""The claim llm-tiny."""
