"""What an operator does with the AWS side: deploy it, watch it, know its price, take it down (``irss cloud``)."""
