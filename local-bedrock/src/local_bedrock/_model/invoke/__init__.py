"""InvokeModel: the formats in which models themselves are asked and answer."""
