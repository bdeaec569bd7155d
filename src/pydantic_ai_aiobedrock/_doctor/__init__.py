"""`python -m pydantic_ai_aiobedrock doctor`."""
