"""Remote APIs: how they are asked, paged through and understood. Knows no table and no Celery."""
