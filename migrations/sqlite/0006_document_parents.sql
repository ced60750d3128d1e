-- The last plan applied that had a document: the parent of the next one with it. What was applied to other documents does not count, so
-- that a plan that waits is still the same after an unrelated run.

CREATE TABLE document_parents (
    cluster TEXT NOT NULL,
    -- `VirtualMachine/web-7`.
    key     TEXT NOT NULL,
    plan    TEXT NOT NULL REFERENCES plans (hash),
    at      TEXT NOT NULL,
    PRIMARY KEY (cluster, key)
) STRICT, WITHOUT ROWID;

-- From before, the cluster's last plan counts for each.
INSERT INTO document_parents (cluster, key, plan, at)
    SELECT DISTINCT parents.cluster, plan_documents.key, parents.plan, parents.at
    FROM parents
    JOIN plans ON plans.cluster = parents.cluster
    JOIN plan_documents ON plan_documents.plan = plans.hash;
