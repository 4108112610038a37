// SPDX-License-Identifier: MIT

package hypertrace

const memfdCreate = 4354
