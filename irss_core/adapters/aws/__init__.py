"""The ports on AWS: DynamoDB, S3, SQS, SES."""
