# SPDX-License-Identifier: GPL-2.0
# Leaves a watch counted in the user namespaces when it is gone.
# File: glue/ucounts.c
# Found by: torture: ^not ok 1 torture\.
/^void watch_queue_uncharge/,/^}/ s/uncharge(cred->ucounts, NULL);//
