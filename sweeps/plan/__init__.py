"""What a launch would run and cost: forecasts, budgets, and the differences that n seeds can show."""
