"""Reviews what decides whether Falco's enrichment works: its settings, its rules, and what it sees of the host."""
