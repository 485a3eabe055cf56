"""MCP: the operations as tools, what one looks at as resources, and prompts. Over stdio, and below ``/mcp``."""
