"""How far raters agree, what their votes come to, and which clips need another look."""
