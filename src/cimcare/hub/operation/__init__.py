"""What an operator and an auditor rely on: alarms, ledger, audit trail, retention."""
