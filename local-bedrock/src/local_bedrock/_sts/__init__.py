"""The part of STS that programs call at their start."""
