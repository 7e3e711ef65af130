"""The page on which people say which emotion a clip shows, and what they said."""
