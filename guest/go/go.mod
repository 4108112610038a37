module hypertrace

go 1.19
