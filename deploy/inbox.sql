-- Run once, when Postgres makes its data folder. With an older one: psql -U dagster -c 'CREATE DATABASE rag_inbox'
CREATE DATABASE rag_inbox;
