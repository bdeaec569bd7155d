"""The async-native Amazon Bedrock provider for Pydantic AI, on aioboto3 sessions."""
