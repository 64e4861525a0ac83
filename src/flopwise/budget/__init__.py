"""What a study may spend: its limits, the priced plan, admission of attempts, and the ledger."""
