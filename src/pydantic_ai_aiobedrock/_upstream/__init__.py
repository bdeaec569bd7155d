"""Everything that knows Pydantic AI, beside the models themselves."""
