"""Pure reasoning: forecasts, verdicts, causes and remedies."""
