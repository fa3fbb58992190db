# SPDX-License-Identifier: GPL-2.0
# Leaves a watch counted in the user namespaces when it is gone.
# File: glue/ucounts.c
# Found by: torture STRICT=1: Expected 0 \(0\) != is_so_ \(0\)
/^void watch_queue_uncharge/,/^}/ s/uncharge(cred->ucounts, NULL);//
